//! Sources of callers: the relay asks real ones.

// JupyterHub: students' servers, and instructors who sign in.
mod jupyterhub;
// A hub that lies, or does its worst.
mod lying_hub;
