"""What each exercise asks for, as plain loops: slow, and right. Checks compare with these, never with a solution."""
