"""Where the keys of a TOML text stand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xbarc.hardware.toml_lines import key_lines


@st.composite
def texts_with_lines(draw: st.DrawFn) -> tuple[str, dict[tuple[str, ...], int]]:
    """TOML built line by line, with the line of every key noted as it is written."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    fillers = st.sampled_from(["", "  ", "# [not.a.table]", '# key = """'])
    names = iter([f"k{index}" for index in range(60)])

    def write_keys(table: tuple[str, ...]) -> None:
        for _ in range(draw(st.integers(0, 4))):
            lines.extend(draw(st.lists(fillers, max_size=2)))
            kind = draw(st.sampled_from(["plain", "dotted", "quoted", "inline", "list", "string"]))
            name, inner = next(names), "inner"
            path = (*table, name)
            expected[path] = len(lines) + 1
            if kind == "plain":
                lines.append(f" {name} = 1 # x = [")
            elif kind == "quoted":
                lines.append(f'"{name}" = "a # [b]"')
            elif kind == "list":
                lines.extend([f"{name} = [", "1,", "# in a list", '"]",', "]"])
            elif kind == "string":
                lines.extend([f'{name} = """', "[no.table]", "no = 1", '"""'])
            else:
                expected[(*path, inner)] = len(lines) + 1
                lines.append(f"{name}.{inner} = 1" if kind == "dotted" else f"{name} = {{ {inner} = 1 }}")

    write_keys(())
    for _ in range(draw(st.integers(0, 3))):
        lines.extend(draw(st.lists(fillers, max_size=2)))
        header = tuple(next(names) for _ in range(draw(st.integers(1, 3))))
        expected |= {header[:length]: len(lines) + 1 for length in range(1, len(header) + 1)}
        lines.append(f"[ {'.'.join(header)} ] # [x]")
        write_keys(header)
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines), expected


@given(case=texts_with_lines())
def test_every_key_is_found_on_the_line_where_it_was_written(
    case: tuple[str, dict[tuple[str, ...], int]],
) -> None:
    text, expected = case
    assert key_lines(text) == expected


def test_a_table_stands_at_its_own_header_also_after_a_table_inside_it() -> None:
    assert key_lines("[a.b]\nx = 1\n[a]\ny = 1\n") == {("a",): 3, ("a", "b"): 1, ("a", "b", "x"): 2, ("a", "y"): 4}
