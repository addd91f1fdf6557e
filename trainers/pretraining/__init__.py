"""How the weights of the `pocket` backbone are made: pictures drawn by formulas, told apart."""
