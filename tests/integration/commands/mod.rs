//! The program's commands, as they are typed in a terminal.

// Flags, messages for people and exit codes of every command.
mod command_line;
// `doctor`: each thing that may be wrong with a deployment is made wrong, and found.
mod doctor;
// The URLs of the database: files that hold them, poolers, messages without passwords.
mod database_url;
// `simulate`: which relays it posts to, and how it paces its students.
mod simulate;
// `tail`: a class in the terminal.
mod tail;
