"""placeholder"""


def prepared(place, source, values, bias, fits):
    return None
