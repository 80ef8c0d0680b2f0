"""The first night of a large run, before there are cards: real widths without memory, real faults at shrunk widths."""
