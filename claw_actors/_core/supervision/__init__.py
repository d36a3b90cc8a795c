"""The decisions of a supervisor, pure: policy, the state of a child, and the machine over both."""
