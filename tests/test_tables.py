"""The numbers in the README are those of the result files."""

from benchmarks.tables import README, with_tables


def test_the_readme_shows_the_results() -> None:
    text = README.read_text()
    assert text == with_tables(text), "run: python -m benchmarks.tables --write"
