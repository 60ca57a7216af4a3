"""Procedures of papers written out plainly, beside which the engine is timed, and which tests hold it to."""
