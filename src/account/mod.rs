//! Who may talk here: users, their passwords, profiles and tokens, the server's keys.
