"""Metrics, protocols, reports and plots."""
