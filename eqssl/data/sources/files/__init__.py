"""Which files a data set consists of, what their names say, and readers of what they hold."""
