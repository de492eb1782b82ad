"""Jobs as ModelArts starts them: its parameters and folders handed on to the commands of mindcold."""
