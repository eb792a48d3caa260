"""Monitors: checks of what is loaded and reported, each with a verdict for every day."""
