"""Records to text and Markdown."""
