"""500 names that break out of naive templates, the same ones on every run."""

from __future__ import annotations

import itertools
import random

COUNT = 500
CANARY = "canary"  # what a name that is run would create in the current folder

COMMANDS = (
    f"touch {CANARY}",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"; touch {CANARY} #",
    f"| touch {CANARY}",
    f"&& touch {CANARY} &&",
    f"$(shell touch {CANARY})",
    f"!touch {CANARY}",
    f'$system("touch {CANARY}");',
    f".control\nshell touch {CANARY}\n.endc",
    f'__attribute__((constructor)) void f(void) {{ system("touch {CANARY}"); }}',
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}",
    f"{{% set x = ().__class__.__base__.__subclasses__() %}}{{{{ x }}}} touch {CANARY}",
    f'"; import os; os.system("touch {CANARY}"); "',
    f'initial $fopen("{CANARY}");',
    f'#include "/dev/zero"\n#define int {CANARY}',
    f'#pragma GCC dependency "{CANARY}"',
    f'.incbin "{CANARY}"',
)

ESCAPES = (
    ("", ""),
    ("*/ ", " /*"),
    ("\n", "\n"),
    ("\r\n", "\r"),
    ('"; ', ' "'),
    ("'; ", " '"),
    ("\\\n", "\\"),
    ("-->", "<!--"),
    ("endmodule\n", "\nmodule x;"),
    ("??/\n", "??/"),
    ("#endif\n", "\n#if 0"),
    ("\x00", "\x00"),
    ("\u2028", "\u2029"),
    ("\u202e", "\u202c"),
    ("}}", "{{"),
    ("%}", "{%"),
)

WORDS = (
    *("", " ", ".", "..", "/", "\\", "-", "--help", "~", "*", "?", "%s%n", "%00", "\x7f", "\ufeff"),
    *("int", "while", "static", "NULL", "main", "_Static_assert", "restrict", "typeof", "asm"),
    *(
        "module",
        "endmodule",
        "reg",
        "wire",
        "always",
        "input",
        "output",
        "dist",
        "logic",
        "`define",
    ),
    *(".end", ".include", ".model", ".subckt", ".param", "R1 a b 1k", "* comment", "+ more"),
    *("../../../../etc/hosts", "/dev/null", "C:\\CON", "aux.txt", "file:///etc/hosts", "a\tb"),
    *("__proto__", "constructor", "__class__", "__init__", "self", "None", "nan", "inf", "1e999"),
    *("\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x08\x08\x08", "\x00", "a\x00b", "\r", "\n", "\n\n"),
    *("\u0430dmin", "\u202egnp.exe", "\u200b", "e\u0301", "\U0001f4a9", "\uffff", "ﷺ" * 30),
    *("x" * 10_000, "*/" * 5_000, "{" * 10_000, "\n" * 1_000, "\\" * 999, "'" * 1_001),
    *("{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{{''}}", "{# #}", "{%raw%}", "%{7*7}", "$HOME"),
    *("made by crystalc", "model sha256 0000", "n0001", "crystal_run", "bias", "field.values"),
)


def hostile_names() -> list[str]:
    """`COUNT` distinct names: words, commands in every escape, and random mixtures."""
    wrapped = [
        f"{before}{command}{after}"
        for command, (before, after) in itertools.product(COMMANDS, ESCAPES)
    ]
    names = list(dict.fromkeys([*WORDS, *wrapped]))
    rng = random.Random(0)
    while len(names) < COUNT:
        parts = rng.choices([*(word[:20] for word in WORDS), *COMMANDS], k=rng.randint(2, 5))
        names.append(rng.choice(("", "\n", '"', "*/", "\x00")).join(parts))
        names = list(dict.fromkeys(names))
    return names[:COUNT]
