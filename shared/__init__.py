"""The parts that functions share; nothing here is for one function alone."""
