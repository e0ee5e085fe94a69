"""What a student reads, in English and Japanese."""

from __future__ import annotations

import os
from typing import Mapping, Optional

_WORDS = {
    "up": ("Your hand is up in class {class_id}.", "クラス {class_id} で手を挙げています。"),
    "up_waiting": (
        "Your hand is up; the relay is away, and will be told as soon as it is back.",
        "手を挙げました。サーバーに接続できません。接続が戻りしだい伝えます。",
    ),
    "lower": ("%hand_down takes it down.", "%hand_down で手を下げます。"),
    "claimed": ("Seen: {by} is on the way.", "確認されました。{by} さんが向かっています。"),
    "claimed_by_someone": ("Seen: someone is on the way.", "確認されました。先生が向かっています。"),
    "resolved": ("Your hand was taken down: resolved.", "対応が済み、手が下げられました。"),
    "down": ("Your hand is down.", "手を下げています。"),
    "raise": ("Raise hand", "手を挙げる"),
    "take_down": ("Lower hand", "手を下げる"),
    "off": ("progress-relay is off: no hand can be raised.", "progress-relay は停止中です。"),
}


def is_japanese(environment: Optional[Mapping[str, str]] = None) -> bool:
    environment = os.environ if environment is None else environment
    names = ("RELAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    language = next((environment[name] for name in names if environment.get(name)), "")
    return language.lower().startswith("ja")


def say(name: str, **values: str) -> str:
    english, japanese = _WORDS[name]
    return (japanese if is_japanese() else english).format(**values)
