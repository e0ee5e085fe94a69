//! The program's commands, as they are typed in a terminal.

// Flags, messages for people and exit codes of every command.
mod command_line;
// `simulate`: which relays it posts to, and how it paces its students.
mod simulate;
// `tail`: a class in the terminal.
mod tail;
