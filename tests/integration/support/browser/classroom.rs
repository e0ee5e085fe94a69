//! An invented lesson of fifty minutes: students with different pace and skill work through a
//! notebook. The same seed gives the same lesson.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::Database;

/// The notebook's path.
pub const NOTEBOOK: &str = "lessons/lesson1.ipynb";
/// How long the lesson has lasted, in seconds.
const LESSON: f64 = 3_000.0;

/// A cell of the notebook: its index, its code, its difficulty, and the errors that students make.
struct Task {
    index: u32,
    code: &'static str,
    result: &'static str,
    hard: f64,
    wrong: &'static [(&'static str, &'static str)],
}

const TASKS: &[Task] = &[
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

const GIVEN: &[&str] = &[
    "Alice",
    "美咲",
    "Ben",
    "大翔",
    "Chloé",
    "結衣",
    "Daniel",
    "蓮",
    "Emma",
    "陽菜",
    "Farid",
    "湊",
    "Grace",
    "さくら",
    "Hugo",
    "悠真",
    "Ines",
    "凛",
    "Jonas",
    "颯太",
    "Kavya",
    "葵",
    "Liam",
    "樹",
];
const FAMILY: &[&str] = &[
    "Moreau",
    "Okafor",
    "Lindqvist",
    "Nguyen",
    "Rossi",
    "Kowalska",
    "Haddad",
    "Silva",
    "Meyer",
    "Andersson",
    "Papadakis",
    "Novak",
    "Weber",
    "Dubois",
    "Costa",
    "Yilmaz",
    "Jensen",
    "Petrov",
    "Ahmed",
    "Garcia",
    "Larsen",
];
const MYOJI: &[&str] = &[
    "佐藤",
    "鈴木",
    "高橋",
    "田中",
    "伊藤",
    "渡辺",
    "山本",
    "中村",
    "小林",
    "加藤",
    "吉田",
    "山田",
    "佐々木",
    "松本",
    "井上",
    "木村",
    "林",
    "清水",
    "山崎",
    "森",
    "池田",
];

/// An event, and how many seconds before now it was received.
pub struct Past {
    pub before: f64,
    pub event: Value,
}

/// A student on the way through the lesson.
struct Walk<'a> {
    rng: Rng,
    student: usize,
    /// Seconds from now, negative in the past.
    at: f64,
    executions: u32,
    out: &'a mut Vec<Past>,
}

impl Walk<'_> {
    fn event(&mut self, kind: &str, more: &Value) {
        let at = self.at;
        self.event_at(at, kind, more);
    }

    fn event_at(&mut self, at: f64, kind: &str, more: &Value) {
        let number = self.student;
        let id = uuid::Builder::from_random_bytes(self.rng.u128(..).to_le_bytes()).into_uuid();
        let mut event = json!({
            "eventId": id.to_string(),
            "eventType": kind,
            "emailAddress": student(number),
            "userName": name(number),
            "teamName": format!("チーム{}", char::from(b'A' + (number % 10) as u8)),
            "sessionId": format!("17e2b34b-0de8-4810-ac52-{number:012x}"),
            "notebookPath": NOTEBOOK,
        });
        for (key, value) in more.as_object().expect("an object") {
            event[key] = value.clone();
        }
        self.out.push(Past { before: -at, event });
    }

    fn run(&mut self, task: &Task, wrong: Option<(&str, &str)>) {
        self.executions += 1;
        let (code, failed) = (wrong.map_or(task.code, |(code, _)| code), wrong.is_some());
        let mut run = json!({
            "cellId": cell_id(task.index),
            "cellIndex": task.index,
            "cellType": "code",
            "executionCount": self.executions,
            "hasError": failed,
            "code": code,
            "result": if failed { "" } else { task.result },
            "executionDurationMs": 1,
        });
        if let Some((code, message)) = wrong {
            run["errorMessage"] = message.into();
            run["result"] = traceback(code, message).into();
        }
        self.event("cell_executed", &run);
    }
}

/// A student's id.
pub fn student(number: usize) -> String {
    format!("s{number:03}@example.com")
}

fn cell_id(index: u32) -> String {
    format!("{:08x}-5b1e-4c59", index * 2_654_435)
}

/// The notebook as an outline has it, with cells that nobody has run yet.
pub fn outline() -> Value {
    const PARTS: &[(u32, &str, &str)] = &[
        (0, "Lesson 1", "Values and names"),
        (7, "Lesson 1", "Loops and functions"),
        (13, "Lesson 1", "Lists"),
        (16, "Lesson 1", "Reading a file"),
        (22, "Lesson 1", "Classes"),
    ];
    const LATER: &[(u32, &str)] = &[(25, "account.withdraw(20)"), (26, "print(account)")];
    let known = TASKS.iter().map(|task| (task.index, task.code));
    let cells = known.chain(LATER.iter().copied()).map(|(index, code)| {
        let part = PARTS.iter().rfind(|(from, ..)| *from <= index).expect("a part");
        let mut cell = json!({
            "id": cell_id(index),
            "index": index,
            "headings": [part.1, part.2],
            "title": code.lines().next(),
        });
        if index % 3 != 1 {
            cell["exercise"] = true.into();
        }
        cell
    });
    json!({ "notebook": NOTEBOOK, "cells": cells.collect::<Vec<_>>() })
}

/// A student's name.
pub fn name(number: usize) -> String {
    // The numbers of first and last names are such that 24 × 21 students have different names.
    let given = GIVEN[number % GIVEN.len()];
    let family = (number + number / 168) % FAMILY.len();
    if number.is_multiple_of(2) {
        format!("{given} {}", FAMILY[family])
    } else {
        format!("{} {given}", MYOJI[family])
    }
}

/// An error as IPython writes it, with colours.
fn traceback(code: &str, message: &str) -> String {
    let kind = message.split(':').next().unwrap_or_default();
    let line = code.lines().last().unwrap_or_default();
    let rule = "-".repeat(75);
    format!(
        "\u{1b}[31m{rule}\u{1b}[39m\n\
         \u{1b}[31m{kind}\u{1b}[39m                         Traceback (most recent call last)\n\
         \u{1b}[36mCell\u{1b}[39m\u{1b}[36m \u{1b}[39m\u{1b}[32mIn[7]\u{1b}[39m\n\
         \u{1b}[32m----> \u{1b}[39m\u{1b}[32m1\u{1b}[39m {line}\n\n\u{1b}[31m{kind}\u{1b}[39m: {}",
        message.split_once(": ").map_or("", |(_, rest)| rest)
    )
}

/// The events of `students` until now, in the order in which they were received.
pub fn lesson(students: usize, seed: u64) -> Vec<Past> {
    let mut out = Vec::new();
    for student in 0..students {
        let mut rng = Rng::with_seed(seed * 1_000_003 + student as u64);
        let (skill, pace) = (rng.f64(), 0.75 + rng.f64() * 0.6);
        // Some students leave early, and some hardly begin.
        let leaves = if rng.f64() < 0.06 { -600.0 - rng.f64() * 1_800.0 } else { 0.0 };
        let at = -LESSON + 400.0 * rng.f64() * rng.f64();
        let mut walk = Walk { rng, student, at, executions: 0, out: &mut out };
        walk.event("notebook_opened", &json!({}));
        let failures = go(&mut walk, skill, pace, leaves);
        let asks = leaves == 0.0 && walk.rng.f64() < if failures >= 3 { 0.22 } else { 0.012 };
        if asks {
            let since = -walk.rng.f64() * walk.rng.f64() * 540.0 - 9.0;
            let mut at = since;
            let words = match student % 3 {
                0 => json!({ "message": "I do not understand what the loop does" }),
                1 => json!({ "message": "問題3の意味が分かりません" }),
                _ => json!({}),
            };
            while at < 0.0 {
                walk.event_at(at, "help", &words);
                at += 10.0;
            }
        }
    }
    out.sort_by(|a, b| b.before.total_cmp(&a.before));
    out
}

/// Walks through the cells until now, or until the student leaves. Returns the number of failures
/// in a row at the end.
fn go(walk: &mut Walk<'_>, skill: f64, pace: f64, leaves: f64) -> u32 {
    for task in TASKS {
        walk.at += pace * (60.0 + walk.rng.f64() * 190.0);
        let mut failures = 0;
        while walk.at < leaves {
            let chance = (task.hard * (1.45 - skill)).min(0.9);
            if walk.rng.f64() >= chance {
                walk.run(task, None);
                failures = 0;
                break;
            }
            let at = walk.rng.usize(..task.wrong.len());
            walk.run(task, Some(task.wrong[at]));
            failures += 1;
            walk.at += pace * (18.0 + walk.rng.f64() * 60.0);
        }
        if walk.at >= leaves {
            return failures;
        }
    }
    0
}

/// Stores a lesson in a class as if it had just happened.
pub async fn fill(database: &Database, class: &str, lesson: &[Past]) {
    let client = database.client().await;
    for events in lesson.chunks(2_000) {
        let column = |of: &dyn Fn(&Past) -> String| events.iter().map(of).collect::<Vec<String>>();
        let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
        let ids = column(&|past| text(&past.event, "eventId"));
        let students = column(&|past| text(&past.event, "emailAddress"));
        let bodies = column(&|past| past.event.to_string());
        let before: Vec<f64> = events.iter().map(|past| past.before).collect();
        let insert = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
             received_at, body) \
             SELECT id::uuid, $1, student, at - '80 ms'::interval, at, \
                (body::jsonb || jsonb_build_object('eventTime', at - '80 ms'::interval))::json \
             FROM (SELECT id, student, clock_timestamp() - before * '1 s'::interval AS at, body \
                   FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[]) AS _(id, \
                   student, before, body)) AS _";
        client
            .execute(insert, &[&class, &ids, &students, &before, &bodies])
            .await
            .expect("a lesson");
    }
}
