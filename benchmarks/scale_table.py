def print_result(result):
    import json
    print(json.dumps(result, indent=1))
