"""What the tests of figures share."""


def cells(table: str) -> list[list[str]]:
    """Take a table in Markdown apart, without the line below its head."""
    head, _, *rows = (
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for line in table.splitlines()
    )
    return [head, *rows]
