"""Offline batch inference: a file of requests in, a file of responses out, resumable, on one device or many."""
