"""What a notebook shows: one anywidget for each view, and the way from it to the log."""
