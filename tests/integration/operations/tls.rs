//! A relay on a server that accepts encrypted connections only.
