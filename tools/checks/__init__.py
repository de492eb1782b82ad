"""The steps of tools/check_ascend.py."""
