"""Models with something around their network, on the command line."""


def test_a_component_is_uploaded_and_shown(sparring, service, tmp_path):
    (tmp_path / "net").write_bytes(b"x")
    done = sparring(
        f"models upload {tmp_path / 'net'} --architecture mlp --input-shape 1x28x28 --classes 10 --model-id net "
        "--component glimpses:glimpses=5,shift=2,random-glimpses=true"
    )
    assert done.code == 0
    (request,) = service.requests("RegisterModel")
    assert request.signature.component.glimpses.shift == 2
    assert "glimpses glimpses=5 shift=2 random_glimpses=true" in sparring("models get net").out
    assert "mlp + glimpses" in sparring("models list").out


def test_a_component_of_no_such_name_exits_2(sparring, tmp_path):
    (tmp_path / "net").write_bytes(b"x")
    done = sparring(
        f"models upload {tmp_path / 'net'} --architecture mlp --input-shape 1x28x28 --classes 10 --component fog"
    )
    assert done.code == 2
    assert "fog" in done.err
