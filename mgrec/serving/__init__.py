"""Serving: live catalogues over HTTP, and the page."""
