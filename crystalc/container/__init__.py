"""The ``.crystal`` container: ``docs/format.md`` is its layout, bit by bit."""
