"""How a model is made: a folder of pictures becomes a measured, exported, sealed bundle."""
