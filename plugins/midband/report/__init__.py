"""Pages: what happened, as one self-contained HTML file."""
