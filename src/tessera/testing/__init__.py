"""Suites, simulators and fixtures that plug-in authors inherit."""
