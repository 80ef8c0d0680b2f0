#!/usr/bin/env bash
# Gradio as an MCP server: a tool that takes several files cannot be called, and how results are split depends on the
# client.
#
# gradio 6.31.0 with mcp 1.30.0 (the newest that gradio[mcp] allows; mcp 2 is excluded).
#
# A function behind gr.File(file_count="multiple") is offered as a tool whose schema says
# {"type": "array", "items": {"$ref": "#/$defs/FileData", ...}}, with "$defs" inside the property instead of at the root.
# Every call ends in "PointerToNowhere: '/$defs/FileData' does not exist", for a list that is right. The same function
# with file_count="single" works. It matters here because a DICOM series is many files: ours describes one file (a zip
# for a series) and takes lists over HTTP only.
#
# A function with two outputs gives ONE text (both values, printed as a Python list) when the client asks for no
# progress, and TWO texts when it passes a progress callback.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "gradio==6.31.0" "mcp==1.30.0"
cat >"$work/run.py" <<'PY'
import asyncio
import base64
import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


def count_many(files):
    """How many files."""
    return len(files)


def size_of_one(file):
    """Length of the text in a file, and a second value."""
    return len(open(file).read()), "second"


with gr.Blocks() as demo:
    number, word = gr.Number(), gr.Textbox()
    gr.Button().click(count_many, gr.File(file_count="multiple"), number, api_name="count_many")
    gr.Button().click(size_of_one, gr.File(file_count="single"), [number, word], api_name="size_of_one")

_, url, _ = demo.launch(mcp_server=True, prevent_thread_lock=True, quiet=True)
TEXT = "data:text/plain;base64," + base64.b64encode(b"hello").decode()


async def main():
    async with streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            schemas = {tool.name: tool.inputSchema for tool in (await session.list_tools()).tools}
            many = await session.call_tool("count_many", {"files": [TEXT, TEXT]})
            one = await session.call_tool("size_of_one", {"file": TEXT})

            async def progress(*_):
                pass

            apart = await session.call_tool("size_of_one", {"file": TEXT}, progress_callback=progress)
    print("schema of several files:", schemas["count_many"]["properties"]["files"]["items"].get("$ref"),
          "| $defs at the root:", "$defs" in schemas["count_many"])
    print("called with two files:", many.isError, many.content[0].text[:60])
    print("called with one file: ", one.isError, [part.text for part in one.content])
    print("the same, with a progress callback:", [part.text for part in apart.content])
    seen = (
        many.isError and "PointerToNowhere" in many.content[0].text,
        not one.isError and len(one.content) == 1,
        not apart.isError and len(apart.content) == 2,
    )
    return seen


seen = asyncio.run(main())
demo.close()
print("as described" if all(seen) else f"BEHAVIOUR CHANGED: {seen}", flush=True)
os._exit(0 if all(seen) else 1)
PY
cd "$work"
"$work/venv/bin/python" run.py
