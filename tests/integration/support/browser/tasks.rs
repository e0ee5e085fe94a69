//! The notebook of the invented lesson.

/// A cell of the notebook: its index, its code, its difficulty, and the errors that students make.
pub(super) struct Task {
    pub(super) index: u32,
    pub(super) code: &'static str,
    pub(super) result: &'static str,
    pub(super) hard: f64,
    pub(super) wrong: &'static [(&'static str, &'static str)],
}

pub(super) const TASKS: &[Task] = &[
    Task {
        index: 1,
        code: "import math",
        result: "",
        hard: 0.02,
        wrong: &[("import maths", "ModuleNotFoundError: No module named 'maths'")],
    },
    Task {
        index: 2,
        code: "x = 6 * 7\nx",
        result: "42",
        hard: 0.05,
        wrong: &[("x = 6 * \nx", "SyntaxError: invalid syntax (1234.py, line 1)")],
    },
    Task {
        index: 4,
        code: "name = input_name\nprint(f\"Hello, {name}!\")",
        result: "Hello, world!",
        hard: 0.18,
        wrong: &[
            ("print(f\"Hello, {nmae}!\")", "NameError: name 'nmae' is not defined"),
            ("print('Hello, ' + 7)", "TypeError: can only concatenate str (not \"int\") to str"),
        ],
    },
    Task {
        index: 5,
        code: "prices = [120, 80, 45]\nsum(prices)",
        result: "245",
        hard: 0.08,
        wrong: &[("sum(price)", "NameError: name 'price' is not defined")],
    },
    Task {
        index: 7,
        code: "for p in prices:\n    print(p * 1.1)",
        result: "132.0\n88.0\n49.5",
        hard: 0.22,
        wrong: &[(
            "for p in prices:\nprint(p * 1.1)",
            "IndentationError: expected an indented block after 'for' statement on line 1",
        )],
    },
    Task {
        index: 8,
        code: "def area(r):\n    return math.pi * r ** 2\n\narea(2)",
        result: "12.566370614359172",
        hard: 0.34,
        wrong: &[
            (
                "def area(r):\n    math.pi * r ** 2\n\nround(area(2))",
                "TypeError: type NoneType doesn't define __round__ method",
            ),
            ("area(2)", "NameError: name 'area' is not defined"),
        ],
    },
    Task {
        index: 10,
        code: "scores = {\"Aya\": 82, \"Ken\": 74}\nscores[\"Aya\"]",
        result: "82",
        hard: 0.2,
        wrong: &[("scores[\"aya\"]", "KeyError: 'aya'")],
    },
    Task {
        index: 11,
        code: "best = max(scores, key=scores.get)\nbest",
        result: "'Aya'",
        hard: 0.3,
        wrong: &[
            ("max(scores, key=scores)", "TypeError: 'dict' object is not callable"),
            ("scores.max()", "AttributeError: 'dict' object has no attribute 'max'"),
        ],
    },
    Task {
        index: 13,
        code: "def mean(values):\n    return sum(values) / len(values)\n\nmean([])",
        result: "0",
        hard: 0.72,
        wrong: &[
            ("mean([])", "ZeroDivisionError: division by zero"),
            ("def mean(values)\n    return 0", "SyntaxError: expected ':' (5678.py, line 1)"),
            ("mean(1, 2)", "TypeError: mean() takes 1 positional argument but 2 were given"),
        ],
    },
    Task {
        index: 14,
        code: "[n for n in range(20) if n % 3 == 0]",
        result: "[0, 3, 6, 9, 12, 15, 18]",
        hard: 0.25,
        wrong: &[(
            "[n for n in range(20) if n % 3 = 0]",
            "SyntaxError: invalid syntax. Maybe you meant '==' or ':=' instead of '='?",
        )],
    },
    Task {
        index: 16,
        code: "with open(\"data.csv\") as f:\n    rows = f.readlines()\nlen(rows)",
        result: "31",
        hard: 0.42,
        wrong: &[(
            "open(\"dat.csv\")",
            "FileNotFoundError: [Errno 2] No such file or directory: 'dat.csv'",
        )],
    },
    Task {
        index: 17,
        code: "values = [float(r.split(\",\")[1]) for r in rows[1:]]",
        result: "",
        hard: 0.5,
        wrong: &[
            (
                "values = [float(r.split(\",\")[1]) for r in rows]",
                "ValueError: could not convert string to float: 'temperature\\n'",
            ),
            ("[float(r.split()[1]) for r in rows]", "IndexError: list index out of range"),
        ],
    },
    Task {
        index: 19,
        code: "mean(values), max(values)",
        result: "(17.3, 29.8)",
        hard: 0.12,
        wrong: &[("mean(value)", "NameError: name 'value' is not defined")],
    },
    Task {
        index: 20,
        code: "import statistics\nstatistics.stdev(values)",
        result: "4.81",
        hard: 0.1,
        wrong: &[(
            "statistics.std(values)",
            "AttributeError: module 'statistics' has no attribute 'std'",
        )],
    },
    Task {
        index: 22,
        code: "class Account:\n    def __init__(self, owner):\n        self.owner = \
             owner\n\nAccount(\"Mio\").owner",
        result: "'Mio'",
        hard: 0.45,
        wrong: &[(
            "Account().owner",
            "TypeError: Account.__init__() missing 1 required positional argument: 'owner'",
        )],
    },
    Task {
        index: 23,
        code: "assert Account(\"Mio\").balance == 0",
        result: "",
        hard: 0.5,
        wrong: &[(
            "Account(\"Mio\").balance",
            "AttributeError: 'Account' object has no attribute 'balance'",
        )],
    },
];
