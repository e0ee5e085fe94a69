"""The version, apart from everything else so that a build can read it."""

VERSION = "0.1.0"
