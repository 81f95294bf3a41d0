"""Steps of the images' builds: they run inside, with the base's Python and shell."""
