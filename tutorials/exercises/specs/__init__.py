"""The specification of each exercise as plain loops: slow and right. Checks compare with these, not with a solution."""
