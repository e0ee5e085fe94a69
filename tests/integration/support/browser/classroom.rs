//! An invented lesson of fifty minutes: students with different pace and skill work through a
//! notebook. The same seed gives the same lesson.

use fastrand::Rng;
use serde_json::{Value, json};

use super::tasks::{TASKS, Task};
use crate::support::Database;

/// The notebook's path.
pub const NOTEBOOK: &str = "lessons/lesson1.ipynb";
/// How long the lesson has lasted, in seconds.
const LESSON: f64 = 3_000.0;

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
