// y = (a << LA) + (b << LB), or minus. W: bits, S: signed. WY bits hold every sum that occurs.
module crystal_add #(
    parameter WA = 1, parameter SA = 0, parameter LA = 0,
    parameter WB = 1, parameter SB = 0, parameter LB = 0,
    parameter MINUS = 0, parameter WY = 1
) (
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire [WY-1:0] y
);
    // Each case as plain as it can be: a simulator spends its time here.
    /* verilator lint_off WIDTH */
    generate
        if (SA == 0 && SB == 0) begin : sum
            assign y = (MINUS != 0) ? (a << LA) - (b << LB) : (a << LA) + (b << LB);
        end else if (SB == 0) begin : sum
            wire signed [WA-1:0] p = a;
            wire signed [WB:0] q = {1'b0, b};
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end else if (SA == 0) begin : sum
            wire signed [WA:0] p = {1'b0, a};
            wire signed [WB-1:0] q = b;
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end else begin : sum
            wire signed [WA-1:0] p = a;
            wire signed [WB-1:0] q = b;
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end
    endgenerate
    /* verilator lint_on WIDTH */
endmodule
