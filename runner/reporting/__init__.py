"""Rows -> numbers (stats), a page (html), runs in MLflow (tracking), comparisons."""
