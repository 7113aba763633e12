// y = a * b. W: bits, S: signed. WY bits hold every product that occurs.
module crystal_mul #(
    parameter WA = 1, parameter SA = 0, parameter WB = 1, parameter SB = 0, parameter WY = 1
) (
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire [WY-1:0] y
);
    wire signed [WA:0] p = {(SA != 0) & a[WA-1], a};
    wire signed [WB:0] q = {(SB != 0) & b[WB-1], b};
    /* verilator lint_off WIDTH */
    assign y = p * q;
    /* verilator lint_on WIDTH */
endmodule
