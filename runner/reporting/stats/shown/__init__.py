"""Statistics said: findings in sentences, tables as values, and both as text, Markdown, LaTeX, CSV and JSON."""
