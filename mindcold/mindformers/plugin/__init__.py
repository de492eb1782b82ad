"""The plug-in folder for MindFormers."""
