"""The pages: frames in, panes out. Each is made when it is looked at for the first time."""
