def test_a_first_fit_does_not_import_torchs_compiler():
    code = (
        "import sys; from sk_dlsteps import StepwiseClassifier; from sklearn.datasets import load_iris; "
        "StepwiseClassifier(max_epochs=2, learning_rate=0.01).fit(*load_iris(return_X_y=True)); "
        "print('torch._dynamo' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
