"""stub"""


def simplified(nodes, parameters, outputs):
    return list(nodes.values()), parameters
