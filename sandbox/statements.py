"""SQL text as D1 takes it apart: into statements, at the semicolons that end one."""

import re
import sqlite3

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


def well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot: each by three U+FFFD, as D1 does."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def split(sql: str) -> list[str]:
    """Return the statements of a text, without those that are only comments or blanks.

    Semicolons in literals, comments and trigger bodies end nothing.
    """
    statements, start = [], 0
    for semicolon in re.finditer(";", sql):
        if sqlite3.complete_statement(sql[start : semicolon.end()]):
            statements.append(sql[start : semicolon.end()])
            start = semicolon.end()
    statements.append(sql[start:])
    return [statement.strip() for statement in statements if _COMMENTS.sub("", statement).strip("; \t\r\n\f")]
