"""The state of every job, in Redis: the state machine, the record, and the only code that writes them."""
