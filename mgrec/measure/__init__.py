"""What a ranking is worth: metrics, their intervals, the parts of the cases they are shown for."""
