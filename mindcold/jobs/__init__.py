"""What jobs share: the process's place among several, and ending in order when it is asked to."""
