"""What each tab looks like, and which function each of its buttons calls."""
