"""What the engine needs of a model, as a protocol: the engine itself knows neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from omnivmed.model.prompts import Tokenizer
    from omnivmed.pruning import KeepMask
    from omnivmed.vision import Patches


class Conversation(Protocol):
    """The language model's key/value cache of one conversation, and one greedy step at a time."""

    @property
    def certainty(self) -> float | None:
        """Probability, 0..1, of the token that `prefill` or `step` returned last; None before."""

    @property
    def length(self) -> int:
        """Positions held."""

    @property
    def nbytes(self) -> int:
        """Memory held."""

    def prefill(self, ids: Sequence[int], visual: Any) -> int:
        """Append these positions and return the likeliest next token.

        visual: rows for the placeholders among `ids`, in order (as from `Runtime.visual`, sliced); None
        when there are none.
        """

    def step(self, token: int) -> int:
        """Append one token and return the likeliest next one."""

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""


class Runtime(Protocol):
    """A loaded model on its device. No method is called by two threads at a time."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    image_token_id: int
    video_token_id: int
    stop_ids: frozenset[int]  # control tokens: any of them ends the answer
    context_length: int  # positions the language model can hold
    encoder_frames: int  # frames encoded since loading, for tests and the page
    prefill_chunk: int  # prompt tokens between two looks at the stop flag

    def encode(self, patches: Patches) -> Iterator[tuple[int, Any]]:
        """Encode frame by frame or some at a time: yields (frames done, None), at last (frames, features).

        Frames that are bit for bit equal are encoded once. features: all tokens of the study, before
        pruning, projected to the language model's width.
        """

    def visual(self, features: Any, mask: KeepMask) -> Any:
        """The kept rows of `features`, (kept, width): the one place where the mask meets the model.

        Where the mask merges, each is the mean of itself and of the dropped ones that lie nearest to it.
        """

    def rows(self, features: Any) -> NDArray[np.float32]:
        """All tokens as (M, width) in main memory, for pruning rules that look at them."""

    def pooled(self, features: Any, frames: int) -> NDArray[np.float32]:
        """Mean and deviation of the tokens of each frame, (frames, 2·width): what tells a strange picture."""

    def nbytes(self, features: Any) -> int:
        """Memory of a features object."""

    def begin(self) -> Conversation:
        """An empty conversation."""

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, control tokens left out."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether this error means that memory ran out."""

    def release(self) -> None:
        """Give unused device memory back after such an error."""
