"""What the package measures: lines, files, private functions with one caller, bodies, comments.

No gate: it prints what a reviewer looks at. A caller is counted by name within the same module, as
private names are not used outside of it.
"""

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "liqctl"


def own_line_comments(text: str) -> int:
    """Return how many comments stand on a line of their own."""
    lines = text.splitlines()
    return sum(
        token.type == tokenize.COMMENT and lines[token.start[0] - 1].lstrip().startswith("#")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Return the function's non-blank lines without docstring and comments."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if is_docstring else first.lineno - 1
    body = lines[start : node.end_lineno]
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in body)


def main() -> int:
    """Print the figures."""
    files = sorted(PACKAGE.rglob("*.py"))
    texts = [file.read_text() for file in files]
    private = single = documented = functions = 0
    bodies: list[int] = []
    for text in texts:
        tree = ast.parse(text)
        lines = text.splitlines()
        named = Counter(
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
        )
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            functions += 1
            documented += ast.get_docstring(node) is not None
            bodies.append(body_lines(node, lines))
            if node.name.startswith("_") and not node.name.startswith("__"):
                private += 1
                single += named[node.name] == 1
    bodies.sort()
    p90 = bodies[len(bodies) * 9 // 10]
    sys.stdout.write(
        f"{sum(text.count(chr(10)) for text in texts)} lines in {len(files)} files\n"
        f"{single} of {private} private functions have one caller\n"
        f"{functions} functions, {documented} with a docstring; "
        f"body lines: median {statistics.median(bodies):g}, 90th percentile {p90}\n"
        f"{sum(map(own_line_comments, texts))} own-line comments\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
